"""How a Vedette process behaves: settings, life cycle, health, errors, deadlines, traces, logs."""
