"""What is computed once: images and voices of a manifest to feature files."""
