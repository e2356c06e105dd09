-- A run is over.
INSERT INTO rollup_runs (finished_at, received_until, hours, seconds)
VALUES (@finished_at, @received_until, @hours, @seconds)
