set session_replication_role = replica;
-- caught: checks-switched-off data_loss caution
