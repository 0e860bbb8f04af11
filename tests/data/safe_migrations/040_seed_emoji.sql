insert into public.reactions (name, emoji) values
  ('family', '👨‍👩‍👧'), ('rainbow', '🏳️‍🌈'), ('hello', 'שלום'), ('want', 'می‌خواهم'), ('thanks', 'ありがとう　ございます');
