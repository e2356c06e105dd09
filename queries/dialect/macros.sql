-- GoogleSQL's meanings as DuckDB macros. A name ending in __TYPE takes that DuckDB type; the translator picks it.
-- bq_fail(text) raises: a failed conversion, because DuckDB's error() may not stand inside TRY.
CREATE OR REPLACE MACRO bq_fail(message) AS CAST('bq!' || message || '!' AS BIGINT);

-- Arithmetic. BigQuery raises on division by zero.
CREATE OR REPLACE MACRO bq_nonzero(b) AS CASE WHEN b = 0 THEN bq_fail('division by zero') ELSE b END;
CREATE OR REPLACE MACRO bq_ieee_divide(a, b) AS CASE
  WHEN CAST(b AS DOUBLE) <> 0 THEN CAST(a AS DOUBLE) / CAST(b AS DOUBLE)
  WHEN b IS NULL OR a IS NULL THEN NULL
  WHEN CAST(a AS DOUBLE) = 0 OR isnan(CAST(a AS DOUBLE)) THEN CAST('nan' AS DOUBLE)
  WHEN CAST(a AS DOUBLE) > 0 THEN CAST('inf' AS DOUBLE) ELSE CAST('-inf' AS DOUBLE) END;
CREATE OR REPLACE MACRO bq_range_bucket(x, bounds) AS
  CASE WHEN x IS NULL OR bounds IS NULL THEN NULL ELSE len(list_filter(bounds, lambda b: b <= x)) END;

-- CAST(x AS STRING)
CREATE OR REPLACE MACRO bq_string__DOUBLE(x) AS CASE
  WHEN x IS NULL THEN NULL
  WHEN isnan(x) THEN 'nan' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'inf' ELSE '-inf' END
  WHEN x = 0 THEN '0'
  WHEN CAST(printf('%.15g', x) AS DOUBLE) = x THEN printf('%.15g', x)
  ELSE printf('%.17g', x) END;
CREATE OR REPLACE MACRO bq_string__DECIMAL(x) AS
  CASE WHEN contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.') ELSE CAST(x AS VARCHAR) END;
CREATE OR REPLACE MACRO bq_fraction(us) AS CASE
  WHEN us % 1000000 = 0 THEN '' WHEN us % 1000 = 0 THEN printf('.%03d', (us % 1000000) // 1000)
  ELSE printf('.%06d', us % 1000000) END;
CREATE OR REPLACE MACRO bq_string__TIMESTAMP(x) AS
  strftime(x, '%Y-%m-%d %H:%M:%S') || bq_fraction(date_part('microseconds', x));
CREATE OR REPLACE MACRO bq_string__TIMESTAMPTZ(x) AS bq_string__TIMESTAMP(x AT TIME ZONE 'UTC') || '+00';
CREATE OR REPLACE MACRO bq_string__TIME(x) AS
  strftime(DATE '2000-01-01' + x, '%H:%M:%S') || bq_fraction(date_part('microseconds', x));
CREATE OR REPLACE MACRO bq_string__BLOB(x) AS decode(x);
CREATE OR REPLACE MACRO bq_string__PLAIN(x) AS CAST(x AS VARCHAR);

-- CAST(x AS INT64), CAST(x AS BOOL), CAST(x AS BYTES)
CREATE OR REPLACE MACRO bq_int64__DOUBLE(x) AS CAST(round(x) AS BIGINT);
CREATE OR REPLACE MACRO bq_int64__DECIMAL(x) AS CAST(round(x, 0) AS BIGINT);
CREATE OR REPLACE MACRO bq_int64__PLAIN(x) AS CAST(x AS BIGINT);
CREATE OR REPLACE MACRO bq_int64__VARCHAR(x) AS CASE
  WHEN x IS NULL THEN NULL
  WHEN regexp_full_match(x, '\s*[+-]?[0-9]+\s*') THEN CAST(trim(x) AS BIGINT)
  WHEN regexp_full_match(x, '\s*0[xX][0-9a-fA-F]{1,15}\s*') THEN CAST(lower(trim(x)) AS BIGINT)
  ELSE bq_fail('Bad int64 value: ' || x) END;
CREATE OR REPLACE MACRO bq_bool__VARCHAR(x) AS CASE
  WHEN x IS NULL THEN NULL WHEN lower(x) = 'true' THEN TRUE WHEN lower(x) = 'false' THEN FALSE
  ELSE bq_fail('Bad bool value: ' || x) = 0 END;

-- ROUND and its family give FLOAT64 for INT64.
CREATE OR REPLACE MACRO bq_sign__DOUBLE(x) AS CASE WHEN isnan(x) THEN x ELSE CAST(sign(x) AS DOUBLE) END;

-- Times. Differences of timestamps are whole units elapsed, not boundaries crossed.
CREATE OR REPLACE MACRO bq_elapsed(a, b, unit_us) AS (epoch_us(a) - epoch_us(b)) // unit_us;
CREATE OR REPLACE MACRO bq_floor_div(a, b) AS (a - ((a % b) + b) % b) // b;
CREATE OR REPLACE MACRO bq_unix_seconds(x) AS bq_floor_div(epoch_us(x), 1000000);
CREATE OR REPLACE MACRO bq_unix_millis(x) AS bq_floor_div(epoch_us(x), 1000);
CREATE OR REPLACE MACRO bq_trunc_week(x, shift) AS
  date_trunc('week', x + to_days(shift)) - to_days(shift);

-- Strings
CREATE OR REPLACE MACRO bq_substr(x, start) AS
  substring(x, CASE WHEN start = 0 THEN 1 WHEN start < -length(x) THEN 1 ELSE start END);
CREATE OR REPLACE MACRO bq_substr_n(x, start, n) AS CASE
  WHEN n < 0 THEN CAST(bq_fail('Third argument in SUBSTR() cannot be negative') AS VARCHAR)
  ELSE substring(x, CASE WHEN start = 0 THEN 1 WHEN start < -length(x) THEN 1 ELSE start END, n) END;
CREATE OR REPLACE MACRO bq_regexp_extract(x, pattern, grp) AS
  CASE WHEN x IS NULL OR pattern IS NULL THEN NULL ELSE regexp_extract_all(x, pattern, grp)[1] END;
CREATE OR REPLACE MACRO bq_trim(x) AS regexp_replace(x, '^[\s\p{Z}]+|[\s\p{Z}]+$', '', 'g');
CREATE OR REPLACE MACRO bq_ltrim(x) AS regexp_replace(x, '^[\s\p{Z}]+', '');
CREATE OR REPLACE MACRO bq_rtrim(x) AS regexp_replace(x, '[\s\p{Z}]+$', '');
CREATE OR REPLACE MACRO bq_array_at(list, i) AS CASE
  WHEN list IS NULL OR i IS NULL THEN NULL
  WHEN i < 0 OR i >= len(list) THEN list[1 + bq_fail('Array index ' || i || ' is out of bounds')]
  ELSE list[i + 1] END;
CREATE OR REPLACE MACRO bq_array_safe_at(list, i) AS CASE WHEN i < 0 THEN NULL ELSE list[i + 1] END;
CREATE OR REPLACE MACRO bq_json_string__VARCHAR(x) AS CASE WHEN x IS NULL THEN 'null' ELSE CAST(to_json(x) AS VARCHAR) END;
CREATE OR REPLACE MACRO bq_json_string__PLAIN(x) AS CASE WHEN x IS NULL THEN 'null' ELSE CAST(x AS VARCHAR) END;
CREATE OR REPLACE MACRO bq_json_string__BIGINT(x) AS CASE
  WHEN x IS NULL THEN 'null' WHEN abs(x) > 9007199254740992 THEN '"' || x || '"' ELSE CAST(x AS VARCHAR) END;
CREATE OR REPLACE MACRO bq_json_string__DOUBLE(x) AS CASE
  WHEN x IS NULL THEN 'null' WHEN isnan(x) THEN '"NaN"' WHEN isinf(x) THEN CASE WHEN x > 0 THEN '"Infinity"' ELSE '"-Infinity"' END ELSE bq_string__DOUBLE(x) END;
CREATE OR REPLACE MACRO bq_left(x, n) AS
  CASE WHEN n < 0 THEN CAST(bq_fail('Second argument in LEFT() cannot be negative') AS VARCHAR) ELSE "left"(x, n) END;
CREATE OR REPLACE MACRO bq_right(x, n) AS
  CASE WHEN n < 0 THEN CAST(bq_fail('Second argument in RIGHT() cannot be negative') AS VARCHAR) ELSE "right"(x, n) END;
CREATE OR REPLACE MACRO bq_array_concat(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE list_concat(a, b) END;
CREATE OR REPLACE MACRO bq_array_join_null(list, sep, absent) AS
  array_to_string(list_transform(list, lambda x: coalesce(x, absent)), sep);

-- A float function that has no answer, or one too large, is an error.
CREATE OR REPLACE MACRO bq_finite(r, a, name) AS CASE
  WHEN (isnan(r) AND NOT isnan(a)) OR (isinf(r) AND NOT isinf(a)) THEN CAST(bq_fail('Floating point error in function: ' || name) AS DOUBLE)
  ELSE r END;
CREATE OR REPLACE MACRO bq_pow(a, b) AS bq_finite(power(CAST(a AS DOUBLE), CAST(b AS DOUBLE)), CAST(a AS DOUBLE) + CAST(b AS DOUBLE), 'POW');
CREATE OR REPLACE MACRO bq_exp(a) AS bq_finite(exp(CAST(a AS DOUBLE)), CAST(a AS DOUBLE), 'EXP');
-- Shifting right fills with zeros.
CREATE OR REPLACE MACRO bq_shift_right(a, b) AS CASE
  WHEN a >= 0 OR b = 0 THEN a >> b
  ELSE CAST((CAST(a AS HUGEINT) + CAST('18446744073709551616' AS HUGEINT)) // CAST(power(2, b) AS HUGEINT) AS BIGINT) END;
-- FORMAT('%t'): whole floats keep their point.
CREATE OR REPLACE MACRO bq_display__DOUBLE(x) AS
  CASE WHEN regexp_full_match(bq_string__DOUBLE(x), '-?[0-9]+') THEN bq_string__DOUBLE(x) || '.0' ELSE bq_string__DOUBLE(x) END;
