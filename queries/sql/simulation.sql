-- How much of what is there is simulated: one row.
SELECT
  (SELECT COUNT(*) FROM stores) AS stores,
  (SELECT COUNTIF(simulated) FROM stores) AS simulated_stores,
  (SELECT COUNT(*) FROM carts_current) AS carts,
  (SELECT COUNTIF(simulated) FROM carts_current) AS simulated_carts
