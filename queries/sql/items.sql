-- The items the model knows.
SELECT item_id, name, category, class_index
FROM items
ORDER BY item_id
