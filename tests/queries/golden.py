"""Fixed questions and the answers BigQuery gives, from Google's function reference and the notes behind this project.

Each answer is written as the REST API encodes it: strings, None for NULL, lists for arrays, dicts for structs.
"""

from __future__ import annotations

from typing import Any

Answer = Any
NAN, INF = "NaN", "Infinity"

SCALARS: list[tuple[str, Answer]] = [
    # Numbers: literals, division, rounding, casts.
    ("1", "1"), ("1.5", "1.5"), ("7 / 2", "3.5"), ("4 / 2", "2.0"), ("DIV(7, 2)", "3"), ("DIV(-7, 2)", "-3"),
    ("MOD(-7, 2)", "-1"), ("MOD(7, -3)", "1"), ("1700000000 * 1000", "1700000000000"), ("2147483647 + 1", "2147483648"),
    ("CAST(2.5 AS INT64)", "3"), ("CAST(-2.5 AS INT64)", "-3"), ("CAST(1.4 AS INT64)", "1"), ("CAST('12' AS INT64)", "12"),
    ("CAST(TRUE AS INT64)", "1"), ("SAFE_CAST('x' AS INT64)", None), ("SAFE_CAST('2.5' AS INT64)", None),
    ("CAST('1e3' AS FLOAT64)", "1000.0"), ("CAST('inf' AS FLOAT64)", INF), ("CAST('nan' AS FLOAT64)", NAN),
    ("ROUND(2.5)", "3.0"), ("ROUND(-2.5)", "-3.0"), ("ROUND(123.7, -1)", "120.0"), ("ROUND(1.235, 2)", "1.24"),
    ("ROUND(5)", "5.0"), ("TRUNC(2.8)", "2.0"), ("TRUNC(-2.8)", "-2.0"), ("CEIL(2.3)", "3.0"), ("FLOOR(-2.3)", "-3.0"), ("FLOOR(7)", "7.0"),
    ("SIGN(-3)", "-1"), ("SIGN(-2.5)", "-1.0"), ("ABS(-3)", "3"), ("POW(2, 3)", "8.0"), ("SQRT(25)", "5.0"), ("EXP(0)", "1.0"),
    ("LN(1)", "0.0"), ("LOG(8, 2)", "3.0"), ("LOG10(100)", "2.0"), ("GREATEST(1, NULL, 3)", None), ("GREATEST(1, 2, 3)", "3"),
    ("LEAST(2, 1)", "1"), ("SAFE_DIVIDE(1, 0)", None), ("SAFE_DIVIDE(6, 4)", "1.5"), ("IEEE_DIVIDE(1, 0)", INF),
    ("IEEE_DIVIDE(0, 0)", NAN), ("IEEE_DIVIDE(-1, 0)", "-Infinity"), ("SAFE_ADD(9223372036854775807, 1)", None), ("IS_NAN(IEEE_DIVIDE(0, 0))", "true"),
    ("NUMERIC '1.10' + NUMERIC '2'", "3.1"), ("CAST(1.5 AS NUMERIC)", "1.5"), ("CAST('1.123456789' AS NUMERIC)", "1.123456789"),
    ("NUMERIC '1.5' * NUMERIC '1.5'", "2.25"), ("RANGE_BUCKET(20, [0, 10, 20, 30])", "3"), ("RANGE_BUCKET(-1, [0, 10])", "0"),
    ("5 & 3", "1"), ("5 | 3", "7"), ("1 << 3", "8"), ("-(-3)", "3"), ("0xFF", "255"), ("1e2", "100.0"),
    # Text of numbers and times.
    ("CAST(1.0 AS STRING)", "1"), ("CAST(0.1 AS STRING)", "0.1"), ("CAST(1e20 AS STRING)", "1e+20"), ("CAST(123456789.5 AS STRING)", "123456789.5"),
    ("CAST(TRUE AS STRING)", "true"), ("CAST(NUMERIC '1.50' AS STRING)", "1.5"), ("CAST(42 AS STRING)", "42"),
    ("CAST(TIMESTAMP '2024-01-02 03:04:05.5+00' AS STRING)", "2024-01-02 03:04:05.500+00"),
    ("CAST(TIMESTAMP '2024-01-02 03:04:05+00' AS STRING)", "2024-01-02 03:04:05+00"),
    ("STRING(TIMESTAMP '2024-01-02 03:04:05.123456+00')", "2024-01-02 03:04:05.123456+00"),
    ("CAST(DATE '2024-01-02' AS STRING)", "2024-01-02"), ("CAST(DATETIME '2024-01-02T03:04:05' AS STRING)", "2024-01-02 03:04:05"),
    ("CAST(DATE_TRUNC(DATE '2024-05-17', MONTH) AS STRING)", "2024-05-01"), ("CAST(b'abc' AS STRING)", "abc"),
    # Bools and NULL.
    ("CAST('true' AS BOOL)", "true"), ("SAFE_CAST('yes' AS BOOL)", None), ("NULL IS NULL", "true"), ("IF(NULL, 1, 2)", "2"),
    ("COALESCE(NULL, 3)", "3"), ("IFNULL(NULL, 'a')", "a"), ("NULLIF(1, 1)", None), ("NULL IN (1, 2)", None),
    ("1 IN UNNEST([1, 2])", "true"), ("3 IN UNNEST([1, 2])", "false"), ("1 IN UNNEST(ARRAY<INT64>[])", "false"), ("TRUE AND NULL", None),
    ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END", "b"), ("1 IS DISTINCT FROM NULL", "true"),
    # Text.
    ("CONCAT('a', 'b', 'c')", "abc"), ("CONCAT('a', NULL)", None), ("'a' || 'b'", "ab"), ("LENGTH('äb')", "2"), ("LENGTH(b'\\x01\\x02')", "2"),
    ("BYTE_LENGTH('äb')", "3"), ("UPPER('aä')", "AÄ"), ("SUBSTR('apple', 2)", "pple"), ("SUBSTR('apple', 0, 2)", "ap"),
    ("SUBSTR('apple', -2)", "le"), ("SUBSTR('apple', -9, 2)", "ap"), ("SUBSTR('apple', 2, 0)", ""), ("STRPOS('apple', 'pl')", "3"),
    ("STRPOS('apple', 'z')", "0"), ("TRIM('  a\\n')", "a"), ("LTRIM('xxa', 'x')", "a"), ("RTRIM('a  ')", "a"), ("REPLACE('aXa', 'X', '-')", "a-a"),
    ("REVERSE('abc')", "cba"), ("REPEAT('ab', 2)", "abab"), ("LPAD('7', 3, '0')", "007"), ("RPAD('7', 3)", "7  "), ("LPAD('abcd', 2)", "ab"),
    ("LEFT('abc', 2)", "ab"), ("RIGHT('abc', 2)", "bc"), ("STARTS_WITH('abc', 'ab')", "true"), ("ENDS_WITH('abc', 'bc')", "true"),
    ("SPLIT('a,b,', ',')", ["a", "b", ""]), ("SPLIT('a b', ' ')[OFFSET(1)]", "b"), ("SPLIT('')", [""]),
    ("REGEXP_CONTAINS('abc', r'b.')", "true"), ("REGEXP_CONTAINS('abc', r'^b')", "false"), ("REGEXP_EXTRACT('abc', r'b(.)')", "c"),
    ("REGEXP_EXTRACT('abc', r'b.')", "bc"), ("REGEXP_EXTRACT('abc', r'z')", None), ("REGEXP_EXTRACT_ALL('a1b2', r'[0-9]')", ["1", "2"]),
    ("REGEXP_REPLACE('abc', r'(b)', r'[\\1]')", "a[b]c"), ("REGEXP_REPLACE('aaa', 'a', 'b')", "bbb"), ("'a_c' LIKE 'a\\\\_c'", "true"),
    ("'abc' LIKE 'a\\\\_c'", "false"), ("'abc' LIKE 'a_c'", "true"), ("FORMAT('%d|%s|%5.2f|%03d', 7, 'x', 2.5, 5)", "7|x| 2.50|005"),
    ("FORMAT('%t %%', DATE '2024-01-02')", "2024-01-02 %"), ("FORMAT('%.2f', 3.14159)", "3.14"), ("FORMAT('%x', 255)", "ff"),
    ("TO_HEX(b'\\x0a\\xff')", "0aff"), ("TO_HEX(MD5('a'))", "0cc175b9c0f1b6a831c399e269772661"), ("TO_BASE64(b'ab')", "YWI="),
    ("FROM_BASE64('YWI=')", "YWI="), ("TO_HEX(SHA256(''))", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("FROM_HEX('6162')", "YWI="), ("ASCII('A')", "65"), ("CHR(65)", "A"), ("'a\\tb'", "a\tb"), ("CAST('ab' AS BYTES)", "YWI="),
    # Dates.
    ("DATE(2024, 2, 29)", "2024-02-29"), ("DATE(TIMESTAMP '2024-01-01 23:30:00+00')", "2024-01-01"),
    ("DATE(TIMESTAMP '2024-01-01 23:30:00+00', 'Europe/Berlin')", "2024-01-02"), ("DATE_ADD(DATE '2024-01-31', INTERVAL 1 MONTH)", "2024-02-29"),
    ("DATE_SUB(DATE '2024-03-01', INTERVAL 1 DAY)", "2024-02-29"), ("DATE_ADD(DATE '2024-01-01', INTERVAL 2 WEEK)", "2024-01-15"),
    ("DATE_DIFF(DATE '2024-03-01', DATE '2024-02-01', DAY)", "29"), ("DATE_DIFF(DATE '2024-01-01', DATE '2023-12-31', YEAR)", "1"),
    ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', WEEK)", "1"), ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', ISOWEEK)", "0"),
    ("DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK)", "0"), ("DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK(MONDAY))", "1"),
    ("DATE_TRUNC(DATE '2024-05-17', WEEK)", "2024-05-12"), ("DATE_TRUNC(DATE '2024-05-17', WEEK(MONDAY))", "2024-05-13"),
    ("DATE_TRUNC(DATE '2024-05-17', ISOWEEK)", "2024-05-13"), ("DATE_TRUNC(DATE '2024-05-17', QUARTER)", "2024-04-01"),
    ("EXTRACT(DAYOFWEEK FROM DATE '2024-05-12')", "1"), ("EXTRACT(WEEK FROM DATE '2024-01-06')", "0"), ("EXTRACT(WEEK FROM DATE '2024-01-07')", "1"),
    ("EXTRACT(ISOWEEK FROM DATE '2024-01-01')", "1"), ("EXTRACT(ISOYEAR FROM DATE '2023-01-01')", "2022"), ("EXTRACT(DAYOFYEAR FROM DATE '2024-02-01')", "32"),
    ("EXTRACT(QUARTER FROM DATE '2024-05-12')", "2"), ("LAST_DAY(DATE '2024-02-03')", "2024-02-29"), ("UNIX_DATE(DATE '1970-01-11')", "10"),
    ("DATE_FROM_UNIX_DATE(10)", "1970-01-11"), ("FORMAT_DATE('%d.%m.%Y', DATE '2024-05-02')", "02.05.2024"), ("PARSE_DATE('%Y%m%d', '20240502')", "2024-05-02"),
    ("GENERATE_DATE_ARRAY(DATE '2024-01-01', DATE '2024-01-03')", ["2024-01-01", "2024-01-02", "2024-01-03"]),
    ("DATE '2024-01-01' + 1", "2024-01-02"), ("DATE '2024-01-02' > DATE '2024-01-01'", "true"),
    # Timestamps, as microseconds.
    ("TIMESTAMP '1970-01-01 00:00:01+00'", "1000000"), ("TIMESTAMP('1970-01-01', 'America/New_York')", "18000000000"), ("TIMESTAMP(DATE '1970-01-02')", "86400000000"),
    ("TIMESTAMP_SECONDS(2)", "2000000"), ("TIMESTAMP_MILLIS(2)", "2000"), ("TIMESTAMP_MICROS(2)", "2"), ("UNIX_SECONDS(TIMESTAMP '1969-12-31 23:59:59.5+00')", "-1"),
    ("UNIX_SECONDS(TIMESTAMP '1970-01-01 00:00:01.9+00')", "1"), ("UNIX_MILLIS(TIMESTAMP '1970-01-01 00:00:01.2345+00')", "1234"),
    ("UNIX_MICROS(TIMESTAMP '1970-01-01 00:00:01+00')", "1000000"), ("TIMESTAMP_ADD(TIMESTAMP '1970-01-01 00:00:00+00', INTERVAL 90 SECOND)", "90000000"),
    ("TIMESTAMP_SUB(TIMESTAMP '1970-01-02 00:00:00+00', INTERVAL 1 DAY)", "0"),
    ("TIMESTAMP_DIFF(TIMESTAMP '2024-01-01 01:59:00+00', TIMESTAMP '2024-01-01 00:01:00+00', HOUR)", "1"),
    ("TIMESTAMP_DIFF(TIMESTAMP '2024-01-01 00:01:00+00', TIMESTAMP '2024-01-01 01:59:00+00', HOUR)", "-1"),
    ("TIMESTAMP_DIFF(TIMESTAMP '2024-01-02 00:00:00+00', TIMESTAMP '2024-01-01 23:00:00+00', DAY)", "0"),
    ("TIMESTAMP_TRUNC(TIMESTAMP '1970-01-01 05:59:00+00', HOUR)", "18000000000"), ("TIMESTAMP_TRUNC(TIMESTAMP '1970-01-04 12:00:00+00', WEEK)", "259200000000"),
    ("TIMESTAMP_TRUNC(TIMESTAMP '1970-01-01 12:00:00+00', DAY, 'America/New_York')", "18000000000"),
    ("EXTRACT(HOUR FROM TIMESTAMP '2024-01-01 12:30:00+00')", "12"), ("EXTRACT(HOUR FROM TIMESTAMP '2024-01-01 12:30:00+00' AT TIME ZONE 'Asia/Tokyo')", "21"),
    ("EXTRACT(MILLISECOND FROM TIMESTAMP '2024-01-01 12:30:05.123456+00')", "123"), ("EXTRACT(MICROSECOND FROM TIMESTAMP '2024-01-01 12:30:05.123456+00')", "123456"),
    ("EXTRACT(DATE FROM TIMESTAMP '2024-01-01 12:30:00+00')", "2024-01-01"), ("FORMAT_TIMESTAMP('%F %T', TIMESTAMP '2024-01-01 12:30:05+00')", "2024-01-01 12:30:05"),
    ("FORMAT_TIMESTAMP('%H', TIMESTAMP '2024-01-01 12:30:05+00', 'Asia/Tokyo')", "21"), ("PARSE_TIMESTAMP('%F %T', '1970-01-01 00:00:01')", "1000000"),
    ("TIMESTAMP_BUCKET(TIMESTAMP '1970-01-01 00:07:00+00', INTERVAL 5 MINUTE)", "300000000"),
    ("ARRAY_LENGTH(GENERATE_TIMESTAMP_ARRAY(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02', INTERVAL 1 HOUR))", "25"),
    ("DATETIME(TIMESTAMP '2024-01-01 12:00:00+00')", "2024-01-01T12:00:00"), ("DATETIME(2024, 1, 2, 3, 4, 5)", "2024-01-02T03:04:05"),
    ("DATETIME_DIFF(DATETIME '2024-01-02T00:00:00', DATETIME '2024-01-01T23:00:00', DAY)", "1"), ("DATETIME_TRUNC(DATETIME '2024-01-02T03:04:05', HOUR)", "2024-01-02T03:00:00"),
    ("TIME(12, 30, 0)", "12:30:00"), ("TIME(TIMESTAMP '2024-01-01 12:30:00.5+00')", "12:30:00.500000"), ("TIME_ADD(TIME '23:30:00', INTERVAL 1 HOUR)", "00:30:00"),
    # Arrays and structs.
    ("[1, 2, 3][OFFSET(0)]", "1"), ("[1, 2, 3][ORDINAL(3)]", "3"), ("[1, 2][SAFE_OFFSET(9)]", None), ("[1, 2][SAFE_OFFSET(-1)]", None), ("[10, 20][1]", "20"),
    ("ARRAY_LENGTH([1, 2])", "2"), ("ARRAY_LENGTH(ARRAY<INT64>[])", "0"), ("ARRAY_CONCAT([1], [2, 3])", ["1", "2", "3"]), ("ARRAY_REVERSE([1, 2])", ["2", "1"]),
    ("GENERATE_ARRAY(1, 5, 2)", ["1", "3", "5"]), ("ARRAY_TO_STRING(['a', NULL, 'b'], '-')", "a-b"), ("ARRAY_TO_STRING(['a', NULL], '-', 'x')", "a-x"),
    ("ARRAY(SELECT x * 2 FROM UNNEST([1, 2]) AS x ORDER BY x DESC)", ["4", "2"]), ("ARRAY(SELECT 1 FROM UNNEST([1]) WHERE FALSE)", []),
    ("ARRAY_LENGTH(ARRAY(SELECT 1 FROM UNNEST([1]) WHERE FALSE))", "0"), ("STRUCT(1 AS a, 'x' AS b)", {"a": "1", "b": "x"}), ("STRUCT(1 AS a, 'x' AS b).b", "x"),
    ("STRUCT<a INT64, b STRING>(1, 'x')", {"a": "1", "b": "x"}), ("(SELECT SUM(x) FROM UNNEST([1, 2, 3]) AS x)", "6"), ("EXISTS(SELECT 1 FROM UNNEST([1]) AS x WHERE x = 1)", "true"),
    ("(SELECT STRING_AGG(x, '|' ORDER BY x DESC) FROM UNNEST(['a', 'b']) AS x)", "b|a"), ("(SELECT MAX(o) FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS o)", "1"),
    # JSON.
    ("JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a.b')", "1"), ("JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a')", None), ("JSON_VALUE('{\"a\": null}', '$.a')", None),
    ("JSON_VALUE('{\"a\": \"x\"}', '$.a')", "x"), ("JSON_QUERY('{\"a\": [1,2]}', '$.a')", "[1,2]"), ("JSON_VALUE(JSON '{\"a\": true}', '$.a')", "true"),
    ("TO_JSON_STRING('a\"b')", '"a\\"b"'), ("TO_JSON_STRING(9007199254740993)", '"9007199254740993"'), ("TO_JSON_STRING(1.0)", "1"), ("JSON_EXTRACT_SCALAR('{\"a\":[5]}', '$.a[0]')", "5"),
]  # fmt: skip

# A table of the test: k STRING, n INT64, f FLOAT64, ts TIMESTAMP, tags ARRAY<STRING>, parts ARRAY<STRUCT<x INT64, y STRING>>.
ROWS = [
    {"k": "a", "n": 1, "f": 1.5, "ts": "2024-01-01T00:30:00Z", "tags": ["p", "q"], "parts": [{"x": 1, "y": "u"}, {"x": 2, "y": "v"}]},
    {"k": "a", "n": 3, "f": 2.5, "ts": "2024-01-01T01:10:00Z", "tags": [], "parts": []},
    {"k": "b", "n": None, "f": None, "ts": "2024-01-02T00:00:00Z", "tags": ["r"], "parts": [{"x": 7, "y": None}]},
    {"k": "b", "n": 10, "f": 4.0, "ts": "2024-01-03T05:00:00Z", "tags": [], "parts": []},
]
QUERIES: list[tuple[str, list[list[Answer]]]] = [
    ("SELECT k, SUM(n), COUNT(*), COUNT(n), AVG(f) FROM t GROUP BY k ORDER BY k", [["a", "4", "2", "2", "2.0"], ["b", "10", "2", "1", "4.0"]]),
    ("SELECT UPPER(k) AS k, SUM(n) FROM t GROUP BY k ORDER BY k", [["A", "4"], ["B", "10"]]),
    ("SELECT TIMESTAMP_TRUNC(ts, DAY) AS ts, COUNT(*) c FROM t GROUP BY ts ORDER BY ts LIMIT 1", [["1704067200000000", "2"]]),
    ("SELECT k FROM t ORDER BY n LIMIT 1", [["b"]]),
    ("SELECT n FROM t ORDER BY n DESC", [["10"], ["3"], ["1"], [None]]),
    ("SELECT n FROM t ORDER BY n NULLS LAST", [["1"], ["3"], ["10"], [None]]),
    ("SELECT tag, o FROM t, UNNEST(tags) AS tag WITH OFFSET AS o ORDER BY tag", [["p", "0"], ["q", "1"], ["r", "0"]]),
    ("SELECT * FROM UNNEST(['x', 'y']) AS v WITH OFFSET AS o ORDER BY o", [["x", "0"], ["y", "1"]]),
    ("SELECT x, y FROM t, UNNEST(parts) ORDER BY x", [["1", "u"], ["2", "v"], ["7", None]]),
    ("SELECT p.x FROM t, UNNEST(parts) AS p WHERE p.y = 'v'", [["2"]]),
    ("SELECT * FROM UNNEST([STRUCT(1 AS a, 'z' AS b)])", [["1", "z"]]),
    ("SELECT k, (SELECT SUM(p.x) FROM UNNEST(parts) AS p) AS s FROM t ORDER BY n", [["b", "7"], ["a", "3"], ["a", None], ["b", None]]),
    ("SELECT COUNTIF(n > 2), COUNT(DISTINCT k), APPROX_COUNT_DISTINCT(k) FROM t", [["2", "2", "2"]]),
    ("SELECT ARRAY_AGG(n IGNORE NULLS ORDER BY n DESC LIMIT 2) FROM t", [[["10", "3"]]]),
    ("SELECT ARRAY_AGG(DISTINCT k ORDER BY k) FROM t", [[["a", "b"]]]),
    ("SELECT STRING_AGG(k, '' ORDER BY n) FROM t WHERE n IS NOT NULL", [["aab"]]),
    ("SELECT APPROX_QUANTILES(n, 2) FROM t", [[["1", "3", "10"]]]),
    ("SELECT ANY_VALUE(k HAVING MAX n), ANY_VALUE(k HAVING MIN n) FROM t", [["b", "a"]]),
    ("SELECT LOGICAL_AND(n > 0), LOGICAL_OR(n > 5) FROM t", [["true", "true"]]),
    ("SELECT STDDEV(f) IS NULL, VAR_SAMP(f) FROM t WHERE k = 'b'", [["true", None]]),
    ("SELECT n, ROW_NUMBER() OVER (ORDER BY n) FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY n) = 1", [[None, "1"]]),
    ("SELECT k, n, LAG(n) OVER (PARTITION BY k ORDER BY ts) FROM t ORDER BY ts", [["a", "1", None], ["a", "3", "1"], ["b", None, None], ["b", "10", None]]),
    ("SELECT DISTINCT PERCENTILE_CONT(n, 0.5) OVER () FROM t", [["3.0"]]),
    ("SELECT DISTINCT PERCENTILE_DISC(n, 0.5) OVER () FROM t", [["3"]]),
    ("SELECT ROUND(SUM(f) / COUNT(f), 2), CAST(SUM(f) AS INT64), DATE(MAX(ts)), CAST(MAX(n) AS STRING) FROM t", [["2.67", "8", "2024-01-03", "10"]]),
    ("SELECT UNIX_SECONDS(MAX(ts)) - UNIX_SECONDS(MIN(ts)) FROM t", [["189000"]]),
    ("WITH q AS (SELECT k, SUM(n) AS s FROM t GROUP BY k) SELECT q.k, ROUND(q.s / total, 2) FROM q, (SELECT SUM(s) AS total FROM q) ORDER BY k", [["a", "0.29"], ["b", "0.71"]]),
    ("SELECT k FROM t WHERE ts BETWEEN TIMESTAMP '2024-01-01 01:00:00+00' AND TIMESTAMP '2024-01-02 00:00:00+00' ORDER BY ts", [["a"], ["b"]]),
    ("SELECT SUM(n) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) FROM t ORDER BY ts", [["1"], ["4"], ["4"], ["14"]]),
    ("SELECT k, n FROM t WHERE n > (SELECT AVG(n) FROM t) ORDER BY n", [["b", "10"]]),
    ("SELECT a.k FROM t a JOIN t b USING (k) WHERE a.n = 1 AND b.n = 3", [["a"]]),
    ("SELECT 1 AS x UNION ALL SELECT 2 ORDER BY x", [["1"], ["2"]]),
    ("SELECT 1 AS x EXCEPT DISTINCT SELECT 1", []),
    ("SELECT * EXCEPT (tags, parts, ts, f) FROM t WHERE k = 'a' ORDER BY n", [["a", "1"], ["a", "3"]]),
    ("SELECT * REPLACE (n + 1 AS n) FROM (SELECT k, n FROM t WHERE n = 1)", [["a", "2"]]),
    ("SELECT h, IFNULL(c, 0) FROM UNNEST(GENERATE_TIMESTAMP_ARRAY(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-01 02:00:00+00', INTERVAL 1 HOUR)) AS h "
     "LEFT JOIN (SELECT TIMESTAMP_TRUNC(ts, HOUR) AS h2, COUNT(*) AS c FROM t GROUP BY h2) ON h = h2 ORDER BY h",
     [["1704067200000000", "1"], ["1704070800000000", "1"], ["1704074400000000", "0"]]),
    ("SELECT k, COUNT(*) FROM t GROUP BY ROLLUP(k) ORDER BY k", [[None, "4"], ["a", "2"], ["b", "2"]]),
    ("SELECT k, MAX(n) AS m FROM t GROUP BY 1 HAVING m > 5", [["b", "10"]]),
    ("SELECT EXTRACT(HOUR FROM ts) AS h, COUNT(*) FROM t GROUP BY h ORDER BY h LIMIT 1", [["0", "2"]]),
    ("SELECT DATE_DIFF(DATE(MAX(ts)), DATE(MIN(ts)), DAY), TIMESTAMP_DIFF(MAX(ts), MIN(ts), DAY) FROM t", [["2", "2"]]),
]  # fmt: skip

# What BigQuery refuses or raises: (query, part of the message).
ERRORS: list[tuple[str, str]] = [
    ("SELECT 1 / 0", "division by zero"), ("SELECT MOD(1, 0)", "division by zero"), ("SELECT DIV(1, 0)", "division by zero"),
    ("SELECT 1.5 / 0", "division by zero"), ("SELECT [1, 2][OFFSET(5)]", "out of bounds"), ("SELECT CAST('2.5' AS INT64)", "Bad int64 value: 2.5"),
    ("SELECT CAST('yes' AS BOOL)", "Bad bool value"), ("SELECT 9223372036854775807 + 1", "overflow"), ("SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x", "overflow"),
    ("SELECT LN(0)", "logarithm"), ("SELECT SQRT(-1)", "square root"), ("SELECT nope FROM t", "Unrecognized name: nope at [1:8]"), ("SELECT * FROM missing", "Not found: Table"),
    ("SELECT 1 AS a, 2 AS a", "Duplicate column names"), ("SELEC 1", "Syntax error"), ("SELECT FROM", "Syntax error"), ("SELECT @x", "Query parameter 'x' not found"),
    ("SELECT k, n FROM t GROUP BY k", "neither grouped nor aggregated"), ("SELECT ARRAY_AGG(n) FROM t", "null element"), ("SELECT ERROR('boom')", "boom"),
    ("DELETE FROM t", "must have a WHERE clause"), ("UPDATE t SET n = 1", "must have a WHERE clause"), ("SELECT SUBSTR('a', 1, -1)", "cannot be negative"),
    ("SELECT [[1]]", "nested arrays"), ("INSERT INTO t (k, nope) VALUES ('x', 1)", "nope"),
]  # fmt: skip

# What BigQuery takes and this endpoint refuses by name.
UNSUPPORTED: list[str] = [
    "SELECT FARM_FINGERPRINT('a')", "SELECT NET.HOST('http://a')", "SELECT ST_GEOGPOINT(1, 2)", "SELECT SOUNDEX('a')", "SELECT CAST(1 AS BIGNUMERIC)",
    "SELECT NUMERIC '1' / 3", "SELECT AVG(x) FROM UNNEST([NUMERIC '1', NUMERIC '2']) AS x", "SELECT DATE '2024-01-02' - DATE '2024-01-01'",
    "SELECT FORMAT('%T', 'a')", "SELECT FORMAT_TIMESTAMP('%Z', CURRENT_TIMESTAMP())", "SELECT * FROM t TABLESAMPLE SYSTEM (10 PERCENT)",
    "SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01'", "SELECT 1; SELECT 2", "BEGIN TRANSACTION", "DECLARE x INT64 DEFAULT 1",
    "CREATE FUNCTION f(x INT64) AS (x)", "CREATE TEMP TABLE x AS SELECT 1 AS a", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a", "SELECT * FROM `d.t_*`",
    "SELECT @@query_label", "SELECT STRING_AGG(x LIMIT 1) FROM UNNEST(['a']) AS x", "SELECT SESSION_USER()", "SELECT 'a' LIKE ANY ('a', 'b')",
    "SELECT AS VALUE STRUCT(1 AS a)", "SELECT KEYS.NEW_KEYSET('AEAD_AES_GCM_256')", "SELECT INITCAP('a b')", "SELECT TO_JSON(STRUCT(1 AS a))",
    "SELECT TO_JSON_STRING(STRUCT(1 AS a))", "SELECT HLL_COUNT.EXTRACT(HLL_COUNT.INIT(1))", "SELECT EXTRACT(WEEK(TUESDAY) FROM DATE '2024-01-01')",
    "CREATE TABLE x (a STRING(10))", "CREATE TABLE x (a INT64 DEFAULT 5)", "ALTER TABLE t DROP COLUMN n", "EXPORT DATA OPTIONS(uri='x') AS SELECT 1",
    "SELECT SAFE_CONVERT_BYTES_TO_STRING(b'a')", "SELECT CAST(DATE '2024-01-01' AS STRING FORMAT 'YYYY')", "SELECT k FROM t, LATERAL (SELECT 1)",
]  # fmt: skip
