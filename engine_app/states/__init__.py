"""What each page knows about its tab: rebuilt from the database whenever it opens."""
