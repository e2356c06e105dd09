"""From MQTT into the warehouse, exactly once.

A message is acknowledged to the broker only after its rows and then its ledger entry are durable;
what is delivered again is recognised by its identity `(cart, boot, channel, seq)`. The core
(`ledger`, `watermarks`, `presence`, `decoding`, `arrow`) is pure; `transport_mqtt`, `appending`,
`seeding` and `http` are the edges; `pipeline` joins them.
"""
