"""Several stations that share trucks and carriers of packs, over simulated days."""
