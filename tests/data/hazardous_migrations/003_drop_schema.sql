drop schema billing cascade;
-- caught: drop-schema data_loss danger
