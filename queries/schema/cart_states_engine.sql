-- Births tell since version 0.2 what runs the model.
ALTER TABLE cart_states_raw ADD COLUMN IF NOT EXISTS engine STRING
