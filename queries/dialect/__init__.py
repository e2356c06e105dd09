"""GoogleSQL on DuckDB: the translator, its fence and its macros."""
