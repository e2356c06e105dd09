"""The embedded BigQuery endpoint: REST and Storage Write over one DuckDB file."""
