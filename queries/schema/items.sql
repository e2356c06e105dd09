-- The grocery items the model knows.
CREATE TABLE IF NOT EXISTS items (
  item_id STRING NOT NULL OPTIONS(description='id used in events'),
  name STRING OPTIONS(description='name on screen'),
  category STRING OPTIONS(description='shelf category'),
  barcode STRING OPTIONS(description='EAN'),
  weight_g FLOAT64 OPTIONS(description='mean weight of one piece, grams'),
  weight_sd_g FLOAT64 OPTIONS(description='standard deviation of the weight, grams'),
  class_index INT64 OPTIONS(description='class of the model')
)
OPTIONS(
  description = 'The grocery items the model knows.'
);
