-- Item events and labels without duplicates. Filter on event_at: the filter reaches the partitions through the window.
CREATE OR REPLACE VIEW events AS
SELECT *
FROM events_raw
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix
  ORDER BY received_at
) = 1;
