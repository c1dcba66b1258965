"""Other engines' ways of writing flows, on Headway's."""
