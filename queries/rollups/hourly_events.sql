-- Item events and labels of the touched hours. A label counts in the hour of the event it refers to (labelled,
-- contradicted) and in its own (corrections, scans, audits). A label without quantity or direction says nothing
-- about them; one without item says that nothing was moved.
MERGE hourly_events AS t
USING (
  WITH seen AS (
    SELECT
      TIMESTAMP_TRUNC(event_at, HOUR) AS hour, event_at, store_id, cart_id,
      COALESCE(model_digest, '') AS model_digest, boot_id, seq, row_ix, event_id, event_type, item_id, quantity,
      direction, posterior, outcome, ref_event_id
    FROM events_raw
    WHERE event_at >= @first
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
    ) = 1
  ),
  decided AS (
    SELECT
      e.hour, e.store_id, e.cart_id, e.model_digest, e.boot_id, e.seq, e.row_ix,
      MAX(e.posterior) AS posterior, MAX(e.outcome) AS outcome, COUNT(l.event_id) > 0 AS is_labelled,
      COUNTIF(
        l.event_id IS NOT NULL AND (
          l.item_id IS NULL OR l.item_id != COALESCE(e.item_id, '')
          OR (l.quantity IS NOT NULL AND l.quantity != COALESCE(e.quantity, -1))
          OR (l.direction IS NOT NULL AND l.direction != COALESCE(e.direction, ''))
        )
      ) > 0 AS is_contradicted
    FROM seen AS e
    LEFT JOIN (SELECT * FROM seen WHERE event_type != 'item' AND ref_event_id IS NOT NULL) AS l
      ON l.store_id = e.store_id AND l.cart_id = e.cart_id AND l.ref_event_id = e.event_id
    WHERE e.event_type = 'item' AND e.event_at < @last AND e.hour IN UNNEST(@hours)
    GROUP BY e.hour, e.store_id, e.cart_id, e.model_digest, e.boot_id, e.seq, e.row_ix
  ),
  counted AS (
    SELECT
      hour, store_id, cart_id, model_digest,
      COUNT(*) AS item_events, COUNTIF(is_contradicted) AS contradicted, COUNTIF(is_labelled) AS labelled,
      0 AS corrections, 0 AS scans, 0 AS audits,
      COUNTIF(outcome = 'asked') AS asked, COALESCE(SUM(posterior), 0.0) AS posterior_sum
    FROM decided
    GROUP BY hour, store_id, cart_id, model_digest
    UNION ALL
    SELECT
      hour, store_id, cart_id, model_digest,
      0 AS item_events, 0 AS contradicted, 0 AS labelled,
      COUNTIF(event_type = 'correction') AS corrections, COUNTIF(event_type = 'scan') AS scans,
      COUNTIF(event_type = 'audit') AS audits, 0 AS asked, 0.0 AS posterior_sum
    FROM seen
    WHERE event_type != 'item' AND event_at < @last AND hour IN UNNEST(@hours)
    GROUP BY hour, store_id, cart_id, model_digest
  )
  SELECT
    hour, store_id, cart_id, model_digest,
    SUM(item_events) AS item_events, SUM(contradicted) AS contradicted, SUM(labelled) AS labelled,
    SUM(corrections) AS corrections, SUM(scans) AS scans, SUM(audits) AS audits, SUM(asked) AS asked,
    SUM(posterior_sum) AS posterior_sum
  FROM counted
  GROUP BY hour, store_id, cart_id, model_digest
) AS s
ON t.hour >= @first AND t.hour < @last
  AND t.hour = s.hour AND t.store_id = s.store_id AND t.cart_id = s.cart_id AND t.model_digest = s.model_digest
WHEN MATCHED THEN UPDATE SET
  item_events = s.item_events, contradicted = s.contradicted, labelled = s.labelled, corrections = s.corrections,
  scans = s.scans, audits = s.audits, asked = s.asked, posterior_sum = s.posterior_sum
WHEN NOT MATCHED THEN
  INSERT (
    hour, store_id, cart_id, model_digest, item_events, contradicted, labelled, corrections, scans, audits, asked,
    posterior_sum
  )
  VALUES (
    s.hour, s.store_id, s.cart_id, s.model_digest, s.item_events, s.contradicted, s.labelled, s.corrections,
    s.scans, s.audits, s.asked, s.posterior_sum
  )
