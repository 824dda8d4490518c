"""What is learnt: training, the run folder, its codes, and search with them."""
