"""The warehouse: schema, questions, client, writer, rollups, and an embedded BigQuery endpoint."""
