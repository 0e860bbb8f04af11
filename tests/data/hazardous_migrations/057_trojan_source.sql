select 1; -- ‮;segaw pord
-- caught: hidden-direction encoding danger
