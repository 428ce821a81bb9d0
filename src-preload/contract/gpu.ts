/** What is shown of the GPU that webgpu computes on. */

/** What an adapter has that decides how fast and how large it computes. */
export interface GpuDescription {
  /** What this process may hold of its memory; null where nothing says. */
  memoryBytes: number | null;
  /** The most that a shader can address through one binding. */
  bindingBytes: number;
  f16: boolean;
  /** Lanes; null where shaders may not use subgroups. */
  subgroups: { min: number; max: number } | null;
  /** Shapes, as `16x16x16 f16 to f32`. */
  subgroupMatrices: string[];
  timestamps: boolean;
}
