"""A small HTTP client of the API."""
