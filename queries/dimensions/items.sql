-- Items, all at once: those that are not named are removed.
MERGE items AS t
USING (
  SELECT
    @item_id[OFFSET(i)] AS item_id, NULLIF(@name[OFFSET(i)], '') AS name,
    NULLIF(@category[OFFSET(i)], '') AS category, NULLIF(@barcode[OFFSET(i)], '') AS barcode,
    SAFE_CAST(@weight_g[OFFSET(i)] AS FLOAT64) AS weight_g,
    SAFE_CAST(@weight_sd_g[OFFSET(i)] AS FLOAT64) AS weight_sd_g,
    SAFE_CAST(@class_index[OFFSET(i)] AS INT64) AS class_index
  FROM UNNEST(GENERATE_ARRAY(0, ARRAY_LENGTH(@item_id) - 1)) AS i
) AS s
ON t.item_id = s.item_id
WHEN MATCHED THEN UPDATE SET
  name = s.name, category = s.category, barcode = s.barcode, weight_g = s.weight_g, weight_sd_g = s.weight_sd_g,
  class_index = s.class_index
WHEN NOT MATCHED THEN
  INSERT (item_id, name, category, barcode, weight_g, weight_sd_g, class_index)
  VALUES (s.item_id, s.name, s.category, s.barcode, s.weight_g, s.weight_sd_g, s.class_index)
WHEN NOT MATCHED BY SOURCE THEN DELETE
