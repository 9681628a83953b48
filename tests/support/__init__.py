"""What tests share: definitions, small campaigns, servers, and the program seen from outside."""
