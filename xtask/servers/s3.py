"""A server that speaks S3, with one bucket and one key: `python s3.py FOLDER PORT`.

One request at a time: between the comparing of a condition and the write nothing comes, as on the real thing. Signatures are
checked; a request without one is an error.
"""

import json
import os
import pathlib
import sys

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
# Every request must be signed with the key that is made below.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"
os.environ["MOTO_PORT"] = str(port)

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
iam.create_user("us-east-1", "tidemill")
allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy("tidemill", "all", json.dumps(allow))
key = iam.create_access_key("tidemill")
s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("tidemill", "us-east-1")
(folder / "keys").write_text(f"{key.access_key_id}\n{key.secret_access_key}\n")

application = DomainDispatcherApplication(create_backend_app)
run_simple("127.0.0.1", port, application, threaded=False)
