"""The mark of the product, as SVG that reads on light and dark."""

_MARK = (
    '<rect x="0" y="2" width="28" height="28" rx="7" fill="#0072B2"/>'
    '<path d="M5.5 9.5h2.6l2.6 9.6h9.2l2.5-7H9.2" fill="none" stroke="#fff" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round"/>'
    '<circle cx="12.2" cy="23.2" r="1.7" fill="#fff"/><circle cx="18.8" cy="23.2" r="1.7" fill="#fff"/>'
)
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 32" width="28" height="32">{_MARK}</svg>'
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 32" width="150" height="32">'
    f"{_MARK}"
    '<text x="38" y="23" font-family="Helvetica, Arial, sans-serif" '
    'font-size="20" font-weight="600" fill="#2E8BC4">Cartwright</text></svg>'
)
