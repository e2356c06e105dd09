-- Item events of the touched hours by the item that the cart answered; contradicted as in hourly_events.
MERGE hourly_items AS t
USING (
  WITH seen AS (
    SELECT
      TIMESTAMP_TRUNC(event_at, HOUR) AS hour, event_at, store_id, cart_id,
      COALESCE(model_digest, '') AS model_digest, boot_id, seq, row_ix, event_id, event_type,
      COALESCE(item_id, '') AS item_id, quantity, direction, ref_event_id
    FROM events_raw
    WHERE event_at >= @first
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
    ) = 1
  ),
  decided AS (
    SELECT
      e.hour, e.store_id, e.model_digest, e.item_id, e.cart_id, e.boot_id, e.seq, e.row_ix,
      COUNTIF(
        l.event_id IS NOT NULL AND (
          l.item_id = '' OR l.item_id != e.item_id
          OR (l.quantity IS NOT NULL AND l.quantity != COALESCE(e.quantity, -1))
          OR (l.direction IS NOT NULL AND l.direction != COALESCE(e.direction, ''))
        )
      ) > 0 AS is_contradicted
    FROM seen AS e
    LEFT JOIN (SELECT * FROM seen WHERE event_type != 'item' AND ref_event_id IS NOT NULL) AS l
      ON l.store_id = e.store_id AND l.cart_id = e.cart_id AND l.ref_event_id = e.event_id
    WHERE e.event_type = 'item' AND e.event_at < @last AND e.hour IN UNNEST(@hours)
    GROUP BY e.hour, e.store_id, e.model_digest, e.item_id, e.cart_id, e.boot_id, e.seq, e.row_ix
  )
  SELECT
    hour, store_id, model_digest, item_id, COUNT(*) AS item_events, COUNTIF(is_contradicted) AS contradicted
  FROM decided
  GROUP BY hour, store_id, model_digest, item_id
) AS s
ON t.hour >= @first AND t.hour < @last
  AND t.hour = s.hour AND t.store_id = s.store_id AND t.model_digest = s.model_digest AND t.item_id = s.item_id
WHEN MATCHED AND (t.item_events != s.item_events OR t.contradicted != s.contradicted) THEN
  UPDATE SET item_events = s.item_events, contradicted = s.contradicted
WHEN NOT MATCHED THEN
  INSERT (hour, store_id, model_digest, item_id, item_events, contradicted)
  VALUES (s.hour, s.store_id, s.model_digest, s.item_id, s.item_events, s.contradicted)
