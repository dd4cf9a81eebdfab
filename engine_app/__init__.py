"""What people touch: pages, API, command line."""
