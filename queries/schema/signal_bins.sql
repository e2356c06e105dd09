-- The fixed bins of the drift signals.
CREATE TABLE IF NOT EXISTS signal_bins (
  signal STRING NOT NULL OPTIONS(description='name of the signal'),
  bin INT64 NOT NULL OPTIONS(description='from 0'),
  lower FLOAT64 OPTIONS(description='lower bound, null if open'),
  upper FLOAT64 OPTIONS(description='upper bound, null if open'),
  label STRING OPTIONS(description='label on screen'),
  unit STRING OPTIONS(description='unit of the bounds')
)
OPTIONS(
  description = 'The fixed bins of the drift signals.'
);
