alter policy own on public.оrders using (a = 1);
-- caught: mixed-scripts encoding danger
