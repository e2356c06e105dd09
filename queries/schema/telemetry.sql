-- Telemetry windows without duplicates. Filter on window_start: the filter reaches the partitions through the window.
CREATE OR REPLACE VIEW telemetry AS
SELECT *
FROM telemetry_raw
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix
  ORDER BY received_at
) = 1;
