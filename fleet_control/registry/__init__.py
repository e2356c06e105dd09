"""The model registry: a TUF repository in a folder, served by any HTTP server or bucket."""
