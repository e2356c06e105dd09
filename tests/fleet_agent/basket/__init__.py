"""Stories about basket reasoning."""
