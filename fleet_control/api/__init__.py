"""The control API: rollouts over HTTP, with roles, an audit log and a webhook."""
