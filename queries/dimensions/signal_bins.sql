-- Bins of the drift signals, all at once: those that are not named are removed.
MERGE signal_bins AS t
USING (
  SELECT
    @signal[OFFSET(i)] AS signal, SAFE_CAST(@bin[OFFSET(i)] AS INT64) AS bin,
    SAFE_CAST(@lower[OFFSET(i)] AS FLOAT64) AS lower, SAFE_CAST(@upper[OFFSET(i)] AS FLOAT64) AS upper,
    NULLIF(@label[OFFSET(i)], '') AS label, @unit[OFFSET(i)] AS unit
  FROM UNNEST(GENERATE_ARRAY(0, ARRAY_LENGTH(@signal) - 1)) AS i
) AS s
ON t.signal = s.signal AND t.bin = s.bin
WHEN MATCHED THEN UPDATE SET lower = s.lower, upper = s.upper, label = s.label, unit = s.unit
WHEN NOT MATCHED THEN
  INSERT (signal, bin, lower, upper, label, unit)
  VALUES (s.signal, s.bin, s.lower, s.upper, s.label, s.unit)
WHEN NOT MATCHED BY SOURCE THEN DELETE
