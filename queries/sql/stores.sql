-- The stores.
SELECT store_id, name, city, timezone, simulated
FROM stores
ORDER BY store_id
