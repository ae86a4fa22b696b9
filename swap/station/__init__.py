"""The station: session, recipes, inventory, controller."""
