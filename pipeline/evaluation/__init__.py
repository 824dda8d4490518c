"""How good it is: codes to retrieval metrics under a stated protocol."""
