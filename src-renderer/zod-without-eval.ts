/** Imported first: zod compiles validators with `new Function` unless told otherwise, which the content security policy reports. */
import { config } from 'zod';

config({ jitless: true });
