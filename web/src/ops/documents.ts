/** Prints the texts of this page's operations as they are sent, over HTTP and over the socket: the API trusts them. */
import { stringifyDocument } from "@urql/core";

import * as operations from "./api/operations";

const texts = Object.values(operations).map(String).flatMap((text) => [text, stringifyDocument(text)]);
console.log(JSON.stringify([...new Set(texts)]));
