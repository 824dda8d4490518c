"""Pictures of results for papers and pages: data, drawing and files; the one door of Matplotlib."""
