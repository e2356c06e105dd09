{"key_id":"8d3e27de00bb32c5","signature":"n42sZSTf0aO2k3Zxv4i8JhWQ+VuFX88q8whk2kvAsfbnR9/20gkC2i+FRNxrfIIXhE2rKWrNFYPYivGX5vndAg=="}
