-- The range on the opening day; names as they stand on the bags.
insert into public.products (sku, name, price_cents, status) values
  ('CO-0001', 'Café crème – la torréfaction douce', 1290, 'listed'),
  ('CO-0002', 'Äthiopien Yirgacheffe, größer gemahlen', 1490, 'listed'),
  ('CO-0003', 'El Niño; decaf', 1190, 'draft'),
  ('TE-0001', '抹茶 (matcha), 30 g', 1950, 'listed'),
  ('TE-0002', 'Чай «Иван-чай»', 890, 'listed'),
  ('MU-0001', 'Mug, "it''s fine" ☕️', 1200, 'listed');
