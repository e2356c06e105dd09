-- Births tell since version 0.2 the labels that the cart's owner gave it.
ALTER TABLE cart_states_raw ADD COLUMN IF NOT EXISTS labels ARRAY<STRUCT<name STRING, value STRING>>
