"""What is installed here? A flow that takes stock of the Python environment it runs in."""
