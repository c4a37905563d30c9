"""Networks, distributions and normalisers, and the policy made of them."""
