"""State that gateways share through Redis, or keep to themselves without it."""
