-- Stores, all at once: those that are not named are removed.
MERGE stores AS t
USING (
  SELECT
    @store_id[OFFSET(i)] AS store_id, NULLIF(@name[OFFSET(i)], '') AS name, NULLIF(@city[OFFSET(i)], '') AS city,
    NULLIF(@timezone[OFFSET(i)], '') AS timezone, @simulated[OFFSET(i)] = 'true' AS simulated
  FROM UNNEST(GENERATE_ARRAY(0, ARRAY_LENGTH(@store_id) - 1)) AS i
) AS s
ON t.store_id = s.store_id
WHEN MATCHED THEN UPDATE SET name = s.name, city = s.city, timezone = s.timezone, simulated = s.simulated
WHEN NOT MATCHED THEN
  INSERT (store_id, name, city, timezone, simulated)
  VALUES (s.store_id, s.name, s.city, s.timezone, s.simulated)
WHEN NOT MATCHED BY SOURCE THEN DELETE
