"""The pictures of finished folders as axes of Matplotlib, for notebooks: ``ivr.plot``."""
