"""The world beside the database: large values, files made for people, HTTP."""
