-- The stores.
CREATE TABLE IF NOT EXISTS stores (
  store_id STRING NOT NULL OPTIONS(description='id used in topics'),
  name STRING OPTIONS(description='name on screen'),
  city STRING OPTIONS(description='city'),
  timezone STRING OPTIONS(description='IANA name'),
  simulated BOOL NOT NULL OPTIONS(description='true for a simulated store')
)
OPTIONS(
  description = 'The stores.'
);
