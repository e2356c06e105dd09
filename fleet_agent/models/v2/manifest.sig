{"key_id":"8d3e27de00bb32c5","signature":"8sJy6ZQCpMtkMG1fRH5itSu9PJx0BoQFlLoG11IN4WCHy7mB9C1sRsnvmlV46kftq6xnxamlkgV2hcNZdYbpDA=="}
