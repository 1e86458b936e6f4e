"""Networks that timm does not have, each with what its backbone must know of it."""
